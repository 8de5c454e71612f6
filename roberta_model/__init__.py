"""What is trained: the encoder, its masking, its loss and its training loop."""
