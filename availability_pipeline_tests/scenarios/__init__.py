"""Weeks of operation in minutes: the schedule, the sensors, the runs and the alerts together, on a controlled clock."""
