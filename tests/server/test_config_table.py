"""The table of ejabberd's options: whole, and never saying what is not so."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.trial.unittest import SynchronousTestCase

from federix.core.host_options import HostOptions
from federix.core.options import Options, option
from federix.server.config import ejabberd, option_table, safer_defaults, table
from federix.server.config.options import ServerOptions

TOP = """
hosts loglevel language version hide_sensitive_log_data log_rotate_count log_rotate_size log_burst_limit_count
log_burst_limit_window_time log_modules_fully fqdn validate_stream negotiation_timeout registration_timeout
max_fsm_queue queue_type queue_dir trusted_proxies net_ticktime rpc_timeout cluster_backend cluster_nodes
domain_balancing allow_contrib_modules install_contrib_modules allow_multiple_connections resource_conflict
replaced_connection_timeout oom_killer oom_watermark oom_queue acl access_rules shaper shaper_rules api_permissions
auth_method auth_opts auth_password_format auth_scram_hash auth_stored_password_types
auth_password_types_hidden_in_sasl1 auth_external_user_exists_check auth_use_cache anonymous_protocol
disable_sasl_mechanisms disable_sasl_scram_downgrade_protection extauth_program extauth_pool_name extauth_pool_size
jwt_key jwt_jid_field jwt_auth_only_rule pam_service pam_userinfotype ldap_servers ldap_backups ldap_encrypt ldap_port
ldap_rootdn ldap_password ldap_base ldap_uids ldap_filter ldap_dn_filter ldap_deref_aliases ldap_tls_verify
ldap_tls_cacertfile ldap_tls_certfile ldap_tls_depth oauth_access oauth_expire oauth_db_type oauth_client_id_check
captcha_cmd captcha_host captcha_limit captcha_url certfiles ca_file acme c2s_cafile c2s_ciphers c2s_dhfile
c2s_protocol_options c2s_tls_compression s2s_cafile s2s_ciphers s2s_dhfile s2s_protocol_options s2s_tls_compression
s2s_access s2s_use_starttls s2s_timeout s2s_max_retry_delay s2s_dns_retries s2s_dns_timeout s2s_queue_type s2s_zlib
outgoing_s2s_families outgoing_s2s_port outgoing_s2s_timeout outgoing_s2s_ipv4_address outgoing_s2s_ipv6_address
default_db default_ram_db sql_type sql_server sql_port sql_database sql_username sql_password sql_pool_size
sql_keepalive_interval sql_connect_timeout sql_query_timeout sql_start_interval sql_queue_type sql_ssl sql_ssl_verify
sql_ssl_cafile sql_ssl_certfile sql_prepared_statements sql_flags sql_odbc_driver sql_schema_multihost
update_sql_schema update_sql_schema_timeout pgsql_users_number_estimate redis_server redis_port redis_db
redis_password redis_pool_size redis_connect_timeout redis_queue_type sm_db_type router_db_type use_cache cache_size
cache_life_time cache_missed sm_use_cache router_cache_size auth_cache_life_time oauth_cache_missed ext_api_url
ext_api_headers ext_api_path_oauth ext_api_http_pool_size rest_proxy rest_proxy_port rest_proxy_username
rest_proxy_password websocket_origin websocket_ping_interval websocket_timeout listen modules host_config
append_host_config define_macro define_keyword include_config_file hosts_alias
"""

LISTENERS = {
    "ejabberd_c2s": "module port ip transport backlog accept_interval send_timeout unix_socket use_proxy_protocol"
    " supervisor access shaper starttls starttls_required tls tls_verify allow_unencrypted_sasl2 zlib ciphers dhfile"
    " cafile protocol_options tls_compression max_stanza_size max_stanza_elements pre_auth_max_stanza_size"
    " pre_auth_max_stanza_elements max_fsm_queue",
    "ejabberd_s2s_in": "shaper tls ciphers cafile max_stanza_size pre_auth_max_stanza_elements max_fsm_queue",
    "ejabberd_service": "hosts password access shaper check_from global_routes tls max_stanza_size",
    "ejabberd_http": "tls request_handlers custom_headers tag allow_unencrypted_sasl2",
}


class Ping:
    @dataclass(frozen=True)
    class Options(Options):
        send_pings: bool = option(False, "Ping.")


def ping_alone(name: str) -> type | None:
    return Ping if name == "mod_ping" else None


class Table(SynchronousTestCase):
    def test_every_option_of_ejabberds_is_in_it(self) -> None:
        rows = table.rows()
        self.assertLessEqual(set(TOP.split()), {row.name for row in rows if row.section == "top level"})
        for module, names in LISTENERS.items():
            there = {row.name for row in rows if row.section == f"listen: {module}"}
            self.assertLessEqual(set(names.split()), there, module)

    def test_each_option_is_in_it_once(self) -> None:
        rows = [(row.section, row.name) for row in table.rows(ping_alone)]
        self.assertEqual(len(rows), len(set(rows)))

    def test_nothing_that_is_done_is_still_said_to_be_undone(self) -> None:
        done = table.names_of(ServerOptions) | table.names_of(HostOptions) | set(table.STRUCTURE)
        self.assertEqual(done & ejabberd.TOP.keys(), set())
        for module, cls in table.LISTENERS.items():
            own = ejabberd.LISTENERS[module].keys() | ejabberd.EVERY_LISTENER.keys()
            self.assertEqual(table.names_of(cls) & own, set(), module)

    def test_what_is_not_wanted_says_why(self) -> None:
        for row in table.rows():
            if row.status == "not wanted" and row.section in ("top level", "modules", "listen"):
                self.assertTrue(row.note, row)

    def test_an_option_of_a_module_is_done_when_its_class_has_it(self) -> None:
        found = {row.name: row.status for row in table.rows(ping_alone) if row.section == "mod_ping"}
        self.assertEqual(
            (found["send_pings"], found["ping_interval"], found["db_type"]), ("done", "planned", "not wanted")
        )
        self.assertEqual({row.status for row in table.rows() if row.section == "mod_ping"}, {"planned"})

    def test_it_prints_as_markdown(self) -> None:
        text = option_table(ping_alone)
        self.assertIn("## top level\n\n| option | status | note |\n|---|---|---|\n", text)
        self.assertIn("| `send_pings` | done |  |", text)
        self.assertEqual(text.count("## modules\n"), 1)

    def test_safer_defaults_are_what_they_are(self) -> None:
        found = {(section, name): (theirs, ours) for section, name, theirs, ours, _why in safer_defaults()}
        self.assertEqual(found["listen: ejabberd_c2s", "starttls_required"], ("false", "true"))
        self.assertEqual(found["top level", "auth_password_format"], ("plain", "scram"))
        self.assertTrue(all(theirs != ours for theirs, ours in found.values()))
