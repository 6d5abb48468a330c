"""How are the detectors' weights made from labelled text?"""
