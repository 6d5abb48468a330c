"""What would another policy have decided about the exchanges that were logged?"""
