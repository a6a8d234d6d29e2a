"""The bus between the services: the port and its twins on Kafka, PostgreSQL and in memory."""
