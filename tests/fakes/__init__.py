"""Stand-ins for what cannot be had in milliseconds, or not at all. Each passes the contract tests of what it stands for."""
