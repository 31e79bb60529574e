"""arr-agent [ARGUMENT...]: `wandb launch-agent ARGUMENT...` for Vertex AI, which sees jobs end, starts them on spot machines, and ends with a
status other than 0 when it cannot go on.

    a condition of arr_agent/fatal.py (key, queue, login, permission, image, quota)   the agent is ended, status 1
    ARR_AGENT_POLLS polls that fail without a pause between them                       the agent is ended, status 1
    a wandb whose Vertex runner is not the one that is mended here                     nothing is started, status 1
    a signal                                                                           what is held goes back to its queue, 128 + N
    the agent's own end                                                                its status
    a setting that is none                                                             status 2
    no wandb                                                                           status 127

Two processes: `agent` watches, `inside` is the agent. `vertex` (pure) says what a job is told and what its states mean, `mended` puts that into
wandb's runner, `handback` is the end by a signal. A job that fails for a reason of its own is no failure of the agent: W&B shows it at the job.
"""
