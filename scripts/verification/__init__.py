"""The checklist of a rollback, against a running service: what stands behind `ops/verify-rollback.sh`."""
