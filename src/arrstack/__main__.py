from arrstack.cli.main import main

main()
