"""General models that know nothing of our teachers and nets, and judge both. Never train on them or tune to them."""
