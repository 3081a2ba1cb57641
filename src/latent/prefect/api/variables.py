"""Variables: named values that flows share; these live as long as the process."""

from __future__ import annotations

from collections.abc import Mapping

from latent.prefect.api.filters import Fields, count, select
from latent.prefect.api.messages import Answer, RefusalError, Request, Route
from latent.prefect.api.records import Record, Table, new_record, utc_now


class Variables:
    """The variables of this process."""

    def __init__(self) -> None:
        # A variable that vanished would change what a flow does, so none ever goes by itself.
        self.variables = Table("Variable", may_go=lambda variable: False)

    def routes(self) -> list[Route]:
        """Return what this part of the API answers."""
        return [
            ("POST", "variables", self._create),
            ("POST", "variables/filter", self._filter),
            ("POST", "variables/count", self._count),
            ("GET", "variables/{id}", self._read),
            ("PATCH", "variables/{id}", self._update),
            ("DELETE", "variables/{id}", self._delete),
            ("GET", "variables/name/{name}", self._read),
            ("PATCH", "variables/name/{name}", self._update),
            ("DELETE", "variables/name/{name}", self._delete),
        ]

    def _create(self, request: Request) -> Answer:
        body = request.mapping()
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise RefusalError(422, "A variable needs a name.")
        self._refuse_duplicate(name)
        fields = {"name": name, "value": body.get("value"), "tags": body.get("tags") or []}
        return Answer(201, self.variables.add(new_record(fields, utc_now()), len(request.body)))

    def _read(self, request: Request) -> Answer:
        return Answer(200, self._find(request))

    def _update(self, request: Request) -> Answer:
        variable = self._find(request)
        body = request.mapping()
        if (name := body.get("name")) not in {None, variable["name"]}:
            self._refuse_duplicate(str(name))
        variable.update({name: body[name] for name in ("name", "value", "tags") if name in body})
        variable["updated"] = utc_now()
        return Answer(204)

    def _delete(self, request: Request) -> Answer:
        self.variables.remove(self._find(request)["id"])
        return Answer(204)

    def _filter(self, request: Request) -> Answer:
        body = {"sort": "NAME_ASC", **request.mapping()}
        return Answer(200, select(self.variables, body, _FILTERS, "variables"))

    def _count(self, request: Request) -> Answer:
        return Answer(200, count(self.variables, request.mapping(), _FILTERS, "variables"))

    def _find(self, request: Request) -> Record:
        if "id" in request.params:
            return self.variables.read(request.params["id"])
        name = request.params["name"]
        if (variable := self._named(name)) is None:
            raise RefusalError(404, f"Variable {name!r} not found.")
        return variable

    def _named(self, name: str) -> Record | None:
        return next((variable for variable in self.variables if variable["name"] == name), None)

    def _refuse_duplicate(self, name: str) -> None:
        if self._named(name) is not None:
            raise RefusalError(409, f"A variable with the name {name!r} already exists.")


_FILTERS: Mapping[str, Fields] = {
    "variables": {
        "id": lambda variable: variable["id"],
        "name": lambda variable: variable["name"],
        "tags": lambda variable: variable["tags"],
    }
}
