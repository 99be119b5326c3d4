"""Real parts that several tests share: daemons, servers, cameras, brokers, machines."""
