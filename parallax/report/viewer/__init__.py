"""The case viewer beside a report: a page with NiiVue and small copies of the worst cases."""
