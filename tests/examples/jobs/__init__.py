"""Programs without a web backend: Celery, cron and a notebook. tests/test_job_examples.py runs them."""
