"""Enrolment and upkeep of the reference catalogue, and the follower of its change feed."""
