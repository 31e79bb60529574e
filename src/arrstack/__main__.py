from arrstack.cli import main

main()
