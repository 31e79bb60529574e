"""Google Cloud: what asks its services, the staging bucket, and Cloud Build as a builder.

May not know of plans or tiers, nor show anything to a person: waits are told by a callback. Google's libraries are imported where they are
used: they take longer than a plan does.
"""
