"""The admin API: for operators, with a token of its own; each call is audited."""

from generation_service.api.admin import jobs, modes, switches, watching

ROUTERS = [module.router for module in (modes, jobs, watching, switches)]

__all__ = ["ROUTERS"]
