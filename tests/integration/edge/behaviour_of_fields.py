"""Where each field of what an operator declares is seen to do what it says.

``PROVED_BY`` has, for each test, the fields that it declares otherwise than their defaults, and whose effect it looks
at from outside: in an answer, in what an upstream got, in what a CA was asked. A field stands under more than one where
each shows a part. Tests in ``tests/integration/edge`` and ``tests/integration/tls`` do so at a real Caddy, those in
``tests/e2e`` on a guest; the few in ``runtime/tests`` look at the part that decides, and not at the edge.

``BEHAVIOUR`` is the same by field. ``test_every_field_has_its_behaviour.py`` wants every field in it, and every test
that it names to be there: a new field comes with a test of what it does.
"""

from __future__ import annotations

_EDGE, _TLS = "tests/integration/edge", "tests/integration/tls"

PROVED_BY: dict[str, dict[str, str]] = {
    f"{_EDGE}/test_host_model.py": {
        "test_weights_share_out_the_requests": "Host.upstreams Upstream.url Upstream.weight",
        "test_an_upstream_gets_no_more_requests_at_once_than_it_may": "Upstream.max_requests",
        "test_ip_hash_goes_by_the_clients_real_address": "Proxy.algorithm",
        "test_a_sticky_cookie_keeps_a_client_at_its_upstream": "Proxy.sticky_cookie",
        "test_an_active_check_takes_an_upstream_out_and_brings_it_back": (
            "Proxy.health_check HealthCheck.path HealthCheck.status"
        ),
        "test_tls_of_upstreams_is_checked_trusted_or_left_alone": (
            "Proxy.verify_tls Proxy.trusted_ca Proxy.tls_server_name"
        ),
        "test_the_clients_host_is_kept_or_the_upstreams_is_sent": "Host.proxy Proxy.preserve_host",
        "test_a_slow_upstream_is_given_up_after_its_time": "Proxy.timeouts Timeouts.response_header",
        "test_a_rule_forwards_to_other_upstreams": "Forward.upstreams Forward.proxy",
        "test_a_rule_rewrites_and_no_later_rule_acts": (
            "Rewrite.path Rewrite.strip_prefix Rewrite.add_prefix Rule.action"
        ),
        "test_a_rule_acts_when_all_its_conditions_hold": (
            "Host.rules Rule.match Match.path Match.path_exact Match.method Match.header Match.query Match.remote_ip"
            " FixedResponse.status"
        ),
        "test_a_wildcard_tells_its_hosts_apart": "Host.name Match.host_header FixedResponse.body",
        "test_headers_are_set_added_and_removed_and_a_value_may_be_a_secret": (
            "Host.request_headers Host.response_headers Headers.set Headers.add Headers.remove SecretName.secret"
        ),
        "test_a_header_with_an_underscore_is_kept_for_the_host_that_needs_it": "Host.keep_headers",
        "test_the_other_name_of_www_is_redirected": "Host.www",
        "test_a_trailing_slash_is_added_or_removed": "Host.trailing_slash",
        "test_lan_only_goes_by_the_clients_real_address": "Host.lan_only Host.lan_networks",
        "test_maintenance_is_a_page_for_all_but_the_allowed": (
            "Host.maintenance Maintenance.enabled Maintenance.text Maintenance.retry_after Maintenance.allow"
        ),
        "test_a_larger_body_is_refused": "Host.body_limit",
        "test_a_limit_counts_what_it_is_told_to": ("Host.rate_limit RateLimit.requests RateLimit.key RateLimit.header"),
        "test_a_global_limit_counts_all_and_a_limit_on_paths_only_those": (
            "Host.path_limits PathLimit.path PathLimit.requests PathLimit.key"
        ),
        "test_a_host_that_is_full_says_so_and_leaves_the_others_alone": "Host.max_concurrent",
        "test_text_is_compressed_and_an_event_stream_never_waits": "Host.compression",
        "test_a_host_that_is_not_logged_is_not_logged_on_port_80_either": "Host.access_log",
        "test_raw_handlers_run_before_the_upstream_and_are_told_of": "Host.raw_handlers Host.raw_unrestricted",
    },
    f"{_EDGE}/test_operator_strings.py": {
        "test_bodies_headers_and_upstream_headers_are_literal": "FixedResponse.content_type",
        "test_rules_go_by_priority_and_the_first_match_wins": "Rule.priority",
    },
    f"{_EDGE}/test_groups_of_upstreams.py": {
        "test_a_connection_is_waited_for_as_long_as_dial_says": "Timeouts.dial",
        "test_the_next_piece_of_an_answer_is_waited_for_as_long_as_read_says": "Timeouts.read",
        "test_the_next_piece_of_a_request_is_offered_as_long_as_write_says": "Timeouts.write",
        "test_least_conn_leaves_the_one_alone_that_is_busy": "Proxy.algorithm",
        "test_random_minds_neither_whose_turn_it_is_nor_who_is_busy": "Proxy.algorithm",
        "test_so_many_failures_leave_an_upstream_out": "Proxy.passive_check PassiveCheck.fails",
        "test_a_failed_upstream_is_asked_again_when_the_window_is_over": "PassiveCheck.window",
    },
    f"{_EDGE}/test_health_checks.py": {
        "test_a_check_waits_as_long_as_its_timeout": "HealthCheck.timeout",
        "test_checks_come_by_the_interval_and_neither_one_failure_nor_one_pass_is_two": (
            "HealthCheck.interval HealthCheck.fails HealthCheck.passes"
        ),
    },
    f"{_EDGE}/test_redirects_and_limits.py": {
        "test_a_redirect_has_its_status_and_307_and_308_keep_the_method": "Redirect.location Redirect.status",
        "test_requests_pass_again_when_the_window_is_over": "RateLimit.window PathLimit.window",
        "test_a_limit_on_paths_may_count_the_values_of_a_header": "PathLimit.header",
    },
    f"{_EDGE}/test_upstream_protocols.py": {
        "test_h2c_reaches_an_upstream_that_knows_http_2_alone": "Proxy.h2c",
        "test_a_grpc_call_streams_both_ways_past_the_waf_and_keeps_its_trailers": "Host.grpc",
    },
    f"{_EDGE}/test_slow_clients.py": {
        "test_a_client_that_sends_slowly_takes_the_panel_from_nobody": "EdgeSettings.panel_host Settings.edge",
        "test_a_client_that_sends_slowly_takes_a_host_from_nobody": "Host.max_concurrent_per_client",
    },
    f"{_EDGE}/test_real_gate.py": {
        "test_a_session_passes_until_it_is_revoked": "Host.auth Auth.required",
    },
    f"{_EDGE}/test_public_paths.py": {
        "test_a_public_path_opens_itself_and_nothing_else": "Auth.paths AuthPath.path AuthPath.access",
    },
    f"{_EDGE}/test_apply.py": {
        "test_the_waf_blocks_detects_or_stays_out": "Host.waf Waf.mode",
    },
    f"{_EDGE}/test_waf_policies.py": {
        "test_hosts_share_a_policy_and_keep_their_own_exclusions": (
            "Document.waf_policies Waf.policy Waf.exclusions WafPolicy.name WafPolicy.exclusions"
            " Exclusion.tag Exclusion.parameter Exclusion.path Exclusion.methods"
        ),
        "test_a_policys_limits_are_in_force": "WafPolicy.body_limit",
    },
    f"{_EDGE}/test_fields_of_waf_policies.py": {
        "test_an_answer_is_inspected_where_the_policy_says_so_and_refused_from_its_threshold_on": (
            "WafPolicy.response WafPolicy.outbound_threshold"
        ),
        "test_no_more_bodies_are_inspected_at_once_than_the_policy_says": "WafPolicy.inspections",
        "test_each_policy_refuses_what_it_says_and_no_more": (
            "WafPolicy.mode WafPolicy.paranoia WafPolicy.inbound_threshold WafPolicy.custom_rules"
            " Exclusion.id Exclusion.range"
        ),
        "test_a_policy_and_a_host_that_are_declared_absent_are_gone": "Document.hosts Host.state WafPolicy.state",
    },
    f"{_EDGE}/test_way_through.py": {
        "test_behind_a_trusted_proxy_the_network_of_the_client_counts": "EdgeSettings.trusted_proxies",
    },
    f"{_EDGE}/test_fields_of_settings.py": {
        "test_the_preset_cloudflare_believes_its_proxies_and_nobody_else": "EdgeSettings.trusted_proxies",
        "test_a_ban_holds_while_crowdsec_is_enabled_and_for_whom_the_whitelist_leaves_out": (
            "Document.settings Settings.crowdsec CrowdsecSettings.enabled CrowdsecSettings.lapi_url"
            " CrowdsecSettings.whitelist Exempt.value"
        ),
    },
    f"{_TLS}/test_acme.py": {
        "test_a_certificate_comes_by_the_challenge_that_is_declared_and_is_listed": "Host.tls Tls.mode Tls.challenge",
        "test_a_hosts_ca_stands_before_the_edges": "EdgeSettings.tls Tls.ca Tls.ca_root",
        "test_the_least_tls_version_is_the_hosts_else_the_edges": "Tls.min_version",
        "test_a_wildcard_comes_through_route53_and_its_key_is_nowhere": (
            "Document.dns_providers Tls.dns_provider DnsProvider.name DnsProvider.type DnsProvider.access_key_id"
            " DnsProvider.secret_access_key DnsProvider.resolvers"
        ),
        "test_a_wildcard_comes_through_cloudflare_and_a_refused_token_is_quoted_nowhere": (
            "DnsProvider.type DnsProvider.api_token"
        ),
    },
    f"{_TLS}/test_accounts_and_providers.py": {
        "test_the_ca_knows_whom_to_write_to": "Tls.email",
        "test_route53_is_asked_in_the_region_and_for_the_zone_that_are_declared": (
            "DnsProvider.region DnsProvider.hosted_zone_id"
        ),
        "test_a_record_is_waited_for_as_long_as_propagation_timeout_says": "DnsProvider.propagation_timeout",
    },
    f"{_TLS}/test_own_certificates.py": {
        "test_it_is_served_and_its_key_stands_in_one_file_that_only_caddy_reads": (
            "Document.certificates Tls.certificate Certificate.name Certificate.certificate Certificate.key"
        ),
        "test_another_of_the_same_name_is_served_at_once_and_the_old_key_goes": "Certificate.state Document.prune",
    },
    f"{_TLS}/test_modules_and_page.py": {
        "test_the_modules_declare_exactly_what_they_show_and_the_list_tells_of_it": "DnsProvider.state",
    },
    "tests/integration/panel/test_sign_in.py": {
        "test_the_cookies_are_those_of_the_mode": "EdgeSettings.parent_domain",
    },
    "tests/integration/panel/test_operators_proxies.py": {
        "test_the_example_lets_the_signed_in_pass_as_themselves_and_nobody_else": "EdgeSettings.auth_proxies",
    },
    "tests/integration/oidc/test_dance.py": {
        "test_a_person_signs_in_with_the_provider_and_comes_where_they_wanted": (
            "Settings.oidc OidcSettings.name OidcSettings.issuer OidcSettings.client_id OidcSettings.client_secret"
        ),
        "test_a_signed_in_person_links_the_provider_and_then_signs_in_by_it": "OidcSettings.auto_provision",
        "test_groups_and_the_admin_claim_follow_the_provider_and_end_older_sign_ins": (
            "OidcSettings.group_map OidcSettings.admin_claim OidcSettings.admin_values"
        ),
    },
    "tests/integration/oidc/test_scopes_and_groups.py": {
        "test_the_declared_scopes_are_asked_for_and_the_declared_claim_names_the_groups": (
            "OidcSettings.scopes OidcSettings.groups_claim OidcSettings.allowed_groups"
        ),
    },
    "tests/integration/oidc/test_forged_tokens.py": {
        "test_a_secret_in_the_body_of_the_request_works_too": "OidcSettings.token_auth",
    },
    "tests/integration/oidc/test_provider_in_trouble.py": {
        "test_a_provider_that_goes_off_takes_its_sign_ins_along_and_no_other": "OidcSettings.enabled",
    },
    "runtime/tests/oidc/test_policy.py": {
        "test_exactly_those_who_were_meant_come_in": (
            "OidcSettings.allowed_emails OidcSettings.allowed_domains OidcSettings.require_email_verified"
        ),
        "test_accounts_are_made_for_nobody_in_particular_only_when_that_is_said": "OidcSettings.allow_anyone",
    },
    "tests/integration/mail/test_delivery.py": {
        "test_a_test_message_goes_over_starttls_and_signs_in_with_the_vaults_password": (
            "MailSettings.port MailSettings.username MailSettings.password MailSettings.sender MailSettings.recipients"
        ),
        "test_tls_from_the_first_byte": "MailSettings.security",
        "test_a_certificate_of_another_or_of_nobody_gets_neither_password_nor_message": (
            "MailSettings.host MailSettings.trusted_ca"
        ),
        "test_a_server_that_hangs_drips_or_floods_is_given_up": "MailSettings.timeout",
    },
    "tests/integration/mail/test_notices.py": {
        "test_nothing_waits_for_who_did_not_ask": "MailSettings.enabled MailSettings.events",
    },
    "tests/integration/mail/test_serving.py": {
        "test_declared_tried_and_told_over_a_restart": "Settings.mail",
    },
    "tests/e2e/test_host_access.py": {
        "test_each_host_admits_whom_its_rule_names_and_shows_others_a_clear_page": (
            "Auth.users Auth.groups Auth.emails Auth.domains"
        ),
        "test_a_host_that_wants_a_second_factor_opens_to_a_proved_code_alone": "Auth.second_factor",
    },
    "tests/e2e/test_waf.py": {
        "test_level_4_refuses_what_level_1_lets_pass": "Waf.paranoia",
        "test_a_hosts_own_rule_fires_on_that_host_only": "Waf.custom_rules",
    },
    "runtime/tests/sessions/test_sessions.py": {
        "test_lifetimes_follow_the_declared_ones": (
            "Settings.session SessionSettings.absolute_hours SessionSettings.idle_hours"
        ),
    },
    "tests/e2e/test_declaration.py": {
        "test_prune_leaves_what_others_declared": "Document.owner Document.prune",
    },
}


def _by_field() -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for path, tests in PROVED_BY.items():
        for test, fields in tests.items():
            for field in fields.split():
                struct, _unused, name = field.partition(".")
                found.setdefault((struct, name), []).append(f"{path}::{test}")
    return found


BEHAVIOUR = _by_field()
"""By struct and field: the tests that show what it does."""

WITHOUT_EFFECT = {
    ("Exempt", "reason"): "the operator's own note: the panel shows it beside the address, and nothing goes by it",
}
"""Fields that are read by people alone, and why no behaviour can be seen."""
