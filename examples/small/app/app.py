import tools

print(f"{tools.tiles(6, 7)} tiles")
