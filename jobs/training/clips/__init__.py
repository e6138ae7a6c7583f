"""Training on clips decoded on the fly: the short-term 3D CNN is fine-tuned with the head."""
