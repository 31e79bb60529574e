"""arr-agent [ARGUMENT...]: `wandb launch-agent ARGUMENT...`, which ends with a status other than 0 when it cannot go on.

The agent ends by itself when it cannot start. Later it does not: a poll of the queue that fails is one line on its
standard output (`Exception: ...`), and the next poll follows ten seconds after, for ever. A container with revoked
credentials or a deleted queue would look alive and take no job. So its output is read as it passes:

    a poll refused for a reason that waiting does not mend            the agent is ended, status 1
    ARR_AGENT_POLLS polls that fail without a pause between them      the agent is ended, status 1
    the agent's own end                                               its status, 128 + N for signal N
    a setting that is none                                            status 2
    no `wandb` program                                                status 127, as a shell has it

A job that fails is no failure of the agent: W&B shows it at the job. Standard library, any Python from 3.10.
"""
