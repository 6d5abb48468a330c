"""How good is a detector on a labelled file?"""
