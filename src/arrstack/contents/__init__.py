"""What an image holds: its packages, sizes, licences and device code; its bill of materials, vulnerabilities and provenance; a page.

May not: run what it reads, unpack it to disk, start a build, or say that something is safe because nothing is known of it.
"""
