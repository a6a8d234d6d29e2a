"""What every test may ask for."""

pytest_plugins = ["shared.testing.postgres_fixtures", "shared.testing.kafka_fixtures"]
