"""A project's side of builds on Google Cloud: what there is of it, and making what is missing. What must be there, `wanted` says.

infra = Infra(api, names)
for row in infra.check(wanted(names, ["latest"])): ...
for row in infra.apply(wanted(names, ["latest"])): ...
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arrstack.errors import ArrstackError
from arrstack.gcp.api import Api
from arrstack.gcp.capacity import Pools, Quotas
from arrstack.gcp.difference import Found, Kind, Resource, Row, Verdict, difference, differences
from arrstack.gcp.names import Names
from arrstack.gcp.policies import Policies
from arrstack.gcp.services import Accounts, Buckets, Repositories, Services

Find = Callable[[Resource], Mapping[str, Any] | None]
Make = Callable[[Resource, bool], None]
"""(what is wanted, whether it is there and differs)"""


@dataclass(frozen=True)
class Infra:
    """Asks and changes a project. Nothing is ever deleted."""

    api: Api
    names: Names

    def __post_init__(self) -> None:
        makers = {
            Kind.SERVICE: Services(self.api),
            Kind.ACCOUNT: Accounts(self.api),
            Kind.REPOSITORY: Repositories(self.api, self.names.location),
            Kind.BUCKET: Buckets(self.api),
            Kind.ROLE: Policies(self.api, self.names.location),
            Kind.QUOTA: Quotas(self.api),
            Kind.POOL: Pools(self.api),
        }
        object.__setattr__(self, "_makers", makers)

    def found(self, resource: Resource) -> Found:
        """What there is of a resource; unknown, with the reason, where that cannot be asked."""
        try:
            return Found(self._maker(resource).find(resource))
        except ArrstackError as error:
            return Found(unknown=f"{error.message}; {error.hint}" if error.hint else error.message)

    def check(self, resources: Sequence[Resource]) -> tuple[Row, ...]:
        """Each resource with its verdict. Changes nothing."""
        return differences(resources, self.found)

    def apply(self, resources: Sequence[Resource]) -> Iterator[Row]:
        """Makes what is missing or different, in order, and yields each row as it is afterwards. What fails is a row too, and the rest is
        tried: a new run goes on from what there is by then."""
        for resource in sorted(resources, key=lambda each: list(Kind).index(each.kind)):
            row = difference(resource, self.found(resource))
            if not row.todo:
                yield row
                continue
            self.api.show(f"{'changing' if row.verdict is Verdict.DIFFERENT else 'making'} {resource.kind} {resource.name}")
            try:
                self._maker(resource).make(resource, row.verdict is Verdict.DIFFERENT)
            except ArrstackError as error:
                yield Row(resource, row.verdict, f"could not be made: {error.message}; {error.hint}")
                continue
            yield difference(resource, self.found(resource))

    def _maker(self, resource: Resource) -> Any:
        return self._makers[resource.kind]  # type: ignore[attr-defined]
