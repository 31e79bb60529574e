from arrstack.cli.commands import main

main()
