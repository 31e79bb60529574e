"""Google Cloud on loopback: REST servers of the official message types, for the official clients and for gcloud alike."""
