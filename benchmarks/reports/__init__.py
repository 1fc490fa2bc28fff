"""Figures and tables, from results alone: what all of them share, and a file for each benchmark with much to show."""
