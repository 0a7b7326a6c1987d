"""What a run looks like from outside: films of the policy at work."""
