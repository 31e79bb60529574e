"""An inventory as one page: sizes, device code, packages, vulnerabilities, the compile, a comparison."""
