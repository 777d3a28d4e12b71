"""Alarms: what is measured while a run trains, when it is a fault, and what is done about it."""
