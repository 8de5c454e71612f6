"""How each stage works, and the engine that makes a stage restartable."""
