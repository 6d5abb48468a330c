"""How often does monitoring cry wolf, and how soon does it see what we put there? By trying."""
