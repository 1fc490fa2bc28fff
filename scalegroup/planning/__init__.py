"""What a network computes where: the plan, shown as a table."""
