"""The command line: arguments -> one call -> what a person sees, and the exit status.

May not decide what is built or whether something is right. It is the only room with typer and rich.
"""
