# Selectors, restrictions, and which provider an opening client gets.
import owners
from harness import raises
from kodkod import errors
from kodkod.services import ServiceClient, ServiceProvider, ServiceSelector, registry

UUID = "c6f4862f-c17f-4624-865b-fa19467865c5"


class Provider(ServiceProvider):
    def __init__(self, name="provider", major=1, minor=0, patch=0, tags=None):
        super().__init__(name, major, minor, patch, tags)

    def handle(self, index, arguments, gid, client):
        return self.name


def provide(name, major=1, minor=0, version=(1, 0), **options):
    """An installed provider of UUID in `version`, named `name` in version major.minor."""
    tags = options.pop("tags", None)
    provider = Provider(name, major, minor)
    selector = ServiceSelector(options.pop("uuid", UUID), *version)
    provider.provides(selector, provider, tags=tags, **options)
    provider.install()
    return provider


def found(selector):
    return registry.find(selector, None)[0].name


def scenario(function):
    """Runs a plain function in a fresh kernel."""

    async def main(kernel):
        function()
        for provider in list(registry.providers):
            provider.uninstall()

    owners.run(main)


def test_matches_is_equality_of_uuid_major_and_minor():
    selector = ServiceSelector(UUID, 1, 2)
    assert selector.matches(ServiceSelector(UUID, 1, 2))
    assert not selector.matches(ServiceSelector(UUID, 1, 3))
    assert not selector.matches(ServiceSelector(UUID, 2, 2))
    assert not selector.matches(ServiceSelector("other", 1, 2))


def test_a_restricted_selector_matches_its_base():
    selector = ServiceSelector(UUID, 1, 2)
    assert selector.restrict().matches(selector)
    assert selector.matches(selector.restrict())


def test_restricting_twice_is_refused():
    with raises(ValueError, "already restricted"):
        ServiceSelector(UUID, 1, 2).restrict().restrict()


def test_restricting_makes_a_copy():
    selector = ServiceSelector(UUID, 1, 0)
    selector.restrict().deny(name="p")

    def body():
        provide("p")
        assert found(selector) == "p"

    scenario(body)


def test_a_minor_without_a_major_is_refused():
    for method in ("allow", "deny"):
        with raises(ValueError, "minor"):
            getattr(ServiceSelector(UUID, 1, 0).restrict(), method)(name="p", minor=1)


def test_conflicting_entries_are_refused():
    cases = (
        ({"name": "p"}, {"name": "p"}),
        ({"name": "p"}, {"name": "p", "major": 1}),
        ({"name": "p", "major": 1}, {"name": "p", "major": 1, "minor": 2}),
        ({"name": "p", "major": 1, "minor": 2}, {"name": "p", "major": 1, "minor": 2}),
    )
    for first, second in cases:
        for one in ("allow", "deny"):
            for other in ("allow", "deny"):
                for a, b in ((first, second), (second, first)):
                    selector = ServiceSelector(UUID, 1, 0).restrict()
                    getattr(selector, one)(**a)
                    with raises(ValueError, "p"):
                        getattr(selector, other)(**b)


def test_entries_that_do_not_overlap_are_accepted():
    selector = ServiceSelector(UUID, 1, 0).restrict()
    selector.allow(name="p", major=1).allow(name="p", major=2, minor=1)
    selector.deny(name="p", major=2, minor=2).deny(name="q")


def test_a_tag_both_allowed_and_denied_is_refused():
    with raises(ValueError, "wired"):
        ServiceSelector(UUID, 1, 0).restrict().allow(tag="wired").deny(tags=["fast", "wired"])
    with raises(ValueError, "wired"):
        ServiceSelector(UUID, 1, 0).restrict().deny(tags=["wired"]).allow(tag="wired")


def test_a_refused_entry_changes_nothing():
    selector = ServiceSelector(UUID, 1, 0).restrict().allow(tag="a").allow(name="p")
    with raises(ValueError):
        selector.deny(name="q", tags=["b", "a"])
    with raises(ValueError):
        selector.deny(name="p", tag="c")

    def body():
        provide("p", tags=["a", "b", "c"])
        assert found(selector) == "p"

    scenario(body)


def test_allow_and_deny_return_the_selector():
    selector = ServiceSelector(UUID, 1, 0).restrict()
    assert selector.allow(name="p") is selector
    assert selector.deny(tag="t") is selector


def test_one_allowed_name_excludes_all_others():
    def body():
        provide("p")
        provide("q", priority=0xFF)
        assert found(ServiceSelector(UUID, 1, 0).restrict().allow(name="p")) == "p"
        with raises(errors.ServiceNotFound):
            found(ServiceSelector(UUID, 1, 0).restrict().allow(name="r"))

    scenario(body)


def test_only_denied_names_are_a_blacklist():
    def body():
        provide("p", priority=0xFF)
        provide("q")
        assert found(ServiceSelector(UUID, 1, 0).restrict().deny(name="p")) == "q"
        with raises(errors.ServiceNotFound):
            found(ServiceSelector(UUID, 1, 0).restrict().deny(name="p").deny(name="q"))

    scenario(body)


def test_names_are_restricted_by_the_providers_own_version():
    def body():
        provide("p", major=2, minor=3, version=(1, 0))
        select = ServiceSelector(UUID, 1, 0).restrict
        assert found(select().allow(name="p", major=2)) == "p"
        assert found(select().allow(name="p", major=2, minor=3)) == "p"
        assert found(select().deny(name="p", major=1)) == "p"
        for refused in (
            select().allow(name="p", major=1),
            select().allow(name="p", major=2, minor=0),
            select().deny(name="p"),
            select().deny(name="p", major=2),
            select().deny(name="p", major=2, minor=3),
        ):
            with raises(errors.ServiceNotFound):
                found(refused)

    scenario(body)


def test_allowed_tags_are_an_or():
    def body():
        provide("p", tags=["wired"])
        select = ServiceSelector(UUID, 1, 0).restrict
        assert found(select().allow(tags=["wireless", "wired"])) == "p"
        with raises(errors.ServiceNotFound):
            found(select().allow(tag="wireless"))

    scenario(body)


def test_deny_of_a_tag_beats_allow():
    def body():
        provide("p", tags=["wired", "slow"])
        with raises(errors.ServiceNotFound):
            found(ServiceSelector(UUID, 1, 0).restrict().allow(tag="wired").deny(tag="slow"))

    scenario(body)


def test_a_provider_without_tags_passes_only_without_allowed_tags():
    def body():
        provide("p")
        select = ServiceSelector(UUID, 1, 0).restrict
        assert found(select().deny(tag="slow")) == "p"
        with raises(errors.ServiceNotFound):
            found(select().allow(tag="fast"))

    scenario(body)


def test_names_and_tags_must_both_pass():
    def body():
        provide("p", tags=["fast"])
        select = ServiceSelector(UUID, 1, 0).restrict
        assert found(select().allow(name="p").allow(tag="fast")) == "p"
        with raises(errors.ServiceNotFound):
            found(select().allow(name="q").allow(tag="fast"))
        with raises(errors.ServiceNotFound):
            found(select().allow(name="p", tag="slow"))

    scenario(body)


def test_a_services_tags_are_the_providers_and_its_own():
    def body():
        provider = Provider("p", tags=["common"])
        provider.provides(ServiceSelector(UUID, 1, 0), provider, tags=["own"])
        provider.provides(ServiceSelector("other", 1, 0), provider)
        provider.install()
        assert found(ServiceSelector(UUID, 1, 0).restrict().allow(tag="common")) == "p"
        assert found(ServiceSelector(UUID, 1, 0).restrict().allow(tag="own")) == "p"
        assert found(ServiceSelector("other", 1, 0).restrict().allow(tag="common")) == "p"
        with raises(errors.ServiceNotFound):
            found(ServiceSelector("other", 1, 0).restrict().allow(tag="own"))

    scenario(body)


def test_the_highest_priority_wins_whatever_the_order_of_installs():
    priorities = (
        ServiceProvider.PRIORITY_UNPREFERRED_STRONGLY,
        ServiceProvider.PRIORITY_UNPREFERRED,
        ServiceProvider.PRIORITY_UNPREFERRED_WEAKLY,
        ServiceProvider.PRIORITY_NORMAL,
        ServiceProvider.PRIORITY_PREFERRED_WEAKLY,
        ServiceProvider.PRIORITY_PREFERRED,
        ServiceProvider.PRIORITY_PREFERRED_STRONGLY,
    )
    assert priorities == (0x10, 0x30, 0x50, 0x80, 0xB0, 0xD0, 0xF0)
    for order in (priorities, reversed(priorities)):

        def body(order=order):
            for priority in order:
                provide(f"p{priority}", priority=priority)
            assert found(ServiceSelector(UUID, 1, 0)) == "p240"

        scenario(body)


def test_the_default_priority_is_normal():
    def body():
        provide("p")
        provide("q", priority=ServiceProvider.PRIORITY_UNPREFERRED_WEAKLY)
        assert found(ServiceSelector(UUID, 1, 0)) == "p"

    scenario(body)


def test_equal_top_priority_is_ambiguous():
    def body():
        provide("low", priority=1)
        provide("p")
        provide("q")
        with raises(errors.Ambiguous, "p"):
            found(ServiceSelector(UUID, 1, 0))
        assert found(ServiceSelector(UUID, 1, 0).restrict().deny(name="p")) == "q"
        provide("best", priority=0xFF)
        assert found(ServiceSelector(UUID, 1, 0)) == "best"

    scenario(body)


def test_equal_lower_priority_is_not_ambiguous():
    def body():
        provide("p", priority=1)
        provide("q", priority=1)
        provide("best")
        assert found(ServiceSelector(UUID, 1, 0)) == "best"

    scenario(body)


def test_one_provider_with_the_same_selector_twice_is_ambiguous():
    def body():
        provider = Provider()
        provider.provides(ServiceSelector(UUID, 1, 0), provider)
        provider.provides(ServiceSelector(UUID, 1, 0), provider)
        provider.install()
        with raises(errors.Ambiguous):
            found(ServiceSelector(UUID, 1, 0))

    scenario(body)


def test_compatible_is_an_equal_major_and_no_greater_minor():
    def body():
        provide("p", version=(1, 2))
        for minor in (0, 1, 2):
            assert found(ServiceSelector(UUID, 1, minor)) == "p"
        for version in ((1, 3), (0, 2), (2, 0)):
            with raises(errors.VersionMismatch):
                found(ServiceSelector(UUID, *version))

    scenario(body)


def test_an_incompatible_provider_is_skipped_while_a_compatible_one_exists():
    def body():
        provide("new", version=(2, 0), priority=0xFF)
        provide("old", version=(1, 0))
        assert found(ServiceSelector(UUID, 1, 0)) == "old"

    scenario(body)


def test_an_incompatible_rival_makes_nothing_ambiguous():
    def body():
        provide("new", version=(2, 0))
        provide("old", version=(1, 0))
        assert found(ServiceSelector(UUID, 1, 0)) == "old"

    scenario(body)


def test_version_mismatch_names_the_versions_it_saw():
    def body():
        provide("p", version=(1, 2))
        provide("q", version=(3, 4))
        with raises(errors.VersionMismatch) as caught:
            found(ServiceSelector(UUID, 2, 0))
        for text in ("1.2", "3.4", "2.0"):
            assert text in str(caught.value)

    scenario(body)


def test_a_denied_incompatible_provider_is_not_a_version_mismatch():
    def body():
        provide("p", version=(2, 0))
        with raises(errors.ServiceNotFound) as caught:
            found(ServiceSelector(UUID, 1, 0).restrict().deny(name="p"))
        assert not isinstance(caught.value, errors.VersionMismatch)

    scenario(body)


def test_a_uuid_of_any_form_is_legal():
    def body():
        for uuid in ("", "logs", "ä"):
            with raises(errors.ServiceNotFound):
                found(ServiceSelector(uuid, 1, 0))
        provide("logs", uuid="")
        assert found(ServiceSelector("", 1, 0)) == "logs"
        with raises(errors.ServiceNotFound):
            found(ServiceSelector("logs", 1, 0))

    scenario(body)


def test_without_a_version_uuid_or_provider_name_find_any_version():
    def body():
        provide("tutorial/p", version=(7, 1))
        assert found(ServiceSelector("tutorial/p")) == "tutorial/p"
        assert found(ServiceSelector(UUID)) == "tutorial/p"

    scenario(body)


def test_several_services_of_one_provider_are_found_apart():
    async def main(kernel):
        class Handler:
            def __init__(self, answer):
                self.answer = answer

            def handle(self, index, arguments, gid, client):
                return self.answer

        provider = Provider()
        provider.provides(ServiceSelector("base", 1, 0), Handler("base"))
        provider.provides(ServiceSelector("extended", 1, 0), Handler("extended"))
        provider.install()
        for uuid in ("base", "extended"):
            client = await ServiceClient(ServiceSelector(uuid, 1, 0)).open()
            assert await client.invoke(0) == uuid
            client.close()
        provider.uninstall()

    owners.run(main)


def test_listing_has_one_record_a_service():
    def body():
        provider = Provider("p", 3, 4, 5, tags=["t"])
        provider.provides(ServiceSelector(UUID, 1, 2), provider, id=7, priority=9, tags=["u"])
        provider.install()
        assert registry.listing() == [
            {
                "uuid": UUID,
                "version": [1, 2],
                "id": 7,
                "priority": 9,
                "tags": ["t", "u"],
                "name": "p",
                "release": [3, 4, 5],
                "app": "test1",
                "clients": 0,
            }
        ]

    scenario(body)
