"""General models, not trained on our teachers or networks, that judge both. Never train on them or tune to them."""
