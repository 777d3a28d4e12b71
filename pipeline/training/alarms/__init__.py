"""Alarms: thresholds on measurements during training, and the actions when one is crossed."""
