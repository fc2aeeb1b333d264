"""The scan from input to report: plan, cost model, resume, trial."""
