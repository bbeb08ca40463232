"""What the daemon costs, measured beside what it could be compared with.

`python -m tests.bench` (or `make bench`) asks six questions, one a module: `relaying`, `paying`,
`signing`, `reserving`, `memory` and `starting`. Whatever is compared takes turns, round by round,
so that a noisy machine is noisy to all alike; `report` writes the ratios first. Nothing here
asserts a time: there is no number that a slower machine would have to reach.
"""
