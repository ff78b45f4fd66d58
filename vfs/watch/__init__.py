"""How a mount is watched: what it counts, what it says of itself, its log and its trace."""
