"""The master key on paper: 24 words and a QR code."""
