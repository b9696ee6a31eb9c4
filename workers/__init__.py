"""RQ and in-process execution: who delivers a job, and the processes that run it."""
