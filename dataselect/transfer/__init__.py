"""From a proxy's score to the target's accuracy: fitting, judging and keeping functions."""
