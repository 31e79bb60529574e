"""The command line: arguments -> one call -> what a person sees and the exit status. The only package with typer and rich."""
