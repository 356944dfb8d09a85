"""The same sync on Apache Airflow's workers: a plan, its shards side by side, the deletes, a report.

``tui_sync.airflow.factory.sync_dag`` makes the DAG. Nothing else in the program imports this package, which
alone knows Airflow.
"""
