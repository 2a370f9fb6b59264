"""Every name an ejabberd.yml may hold that Federix does not have (yet), and what to do instead.

Only what is *not* done stands here: what is done follows from the classes of options. The table in `table.py` joins
both. A note that begins with "!" says that the option is not wanted; any other is planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LATER: Final = "planned"
_ONE_STORE: Final = "!there is one storage for everything, chosen by default_db"
_NO_CACHE: Final = "!Federix needs no cache settings: what it remembers has fixed bounds"
_ERLANG: Final = "!a setting of the Erlang machine"


def _all(names: str, note: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), note)


TOP: Final[Mapping[str, str]] = {
    # General
    **_all("log_rotate_count log_rotate_size", "!log files are rotated by the system, for example by logrotate"),
    **_all("log_burst_limit_count log_burst_limit_window_time log_modules_fully", "!the log has no such limits"),
    "fqdn": "!no mechanism that Federix offers needs it",
    "validate_stream": "!every stanza is checked where it is used",
    **_all("max_fsm_queue", "!a bound of each listener: set max_fsm_queue and max_queue_size there"),
    **_all("queue_type queue_dir", "!queues are bounded and in memory"),
    "trusted_proxies": _LATER,
    **_all("net_ticktime rpc_timeout", _ERLANG),
    **_all("cluster_backend cluster_nodes", "planned: nodes will meet through Redis"),
    **_all("allow_contrib_modules install_contrib_modules", "!name modules of third parties by dotted path in modules"),
    "allow_multiple_connections": "planned: comes with anonymous logins",
    "replaced_connection_timeout": "!a replaced session ends at once",
    **_all("oom_killer oom_watermark oom_queue", "!every queue has its own bound"),
    "hosts_alias": _LATER,
    # Rules
    "api_permissions": "planned: comes with the HTTP API",
    # Accounts
    **_all("auth_opts auth_external_user_exists_check", _LATER),
    "auth_password_types_hidden_in_sasl1": _LATER,
    "anonymous_protocol": _LATER,
    "disable_sasl_scram_downgrade_protection": "planned: comes with SASL2",
    **_all("extauth_program extauth_pool_name extauth_pool_size", _LATER),
    **_all("jwt_key jwt_jid_field jwt_auth_only_rule", _LATER),
    **_all("pam_service pam_userinfotype", _LATER),
    **_all(
        "ldap_servers ldap_backups ldap_encrypt ldap_port ldap_rootdn ldap_password ldap_base ldap_uids ldap_filter"
        " ldap_dn_filter ldap_deref_aliases ldap_tls_verify ldap_tls_cacertfile ldap_tls_certfile ldap_tls_depth",
        _LATER,
    ),
    **_all("oauth_access oauth_expire oauth_client_id_check", _LATER),
    **_all("captcha_cmd captcha_host captcha_limit captcha_url", _LATER),
    # TLS
    "c2s_cafile": "planned: comes with logins by certificate",
    "acme": "planned; until then let another program fetch certificates and name them in certfiles",
    **_all("c2s_tls_compression s2s_tls_compression", "!compression inside TLS gives secrets away (RFC 9325 §3.3)"),
    # Servers
    "s2s_queue_type": "!queues are bounded and in memory: set s2s_max_queue and s2s_max_queue_size",
    "s2s_zlib": "!compression of streams gives secrets away by their length",
    # Databases
    **_all("sql_queue_type sql_prepared_statements sql_flags", "!nothing to choose"),
    "sql_odbc_driver": "!there is no ODBC",
    "sql_schema_multihost": "!one database always holds all hosts",
    **_all("new_sql_schema", "!one database always holds all hosts"),
    "update_sql_schema_timeout": "!a change of the schema takes as long as it takes",
    "pgsql_users_number_estimate": "!accounts are counted",
    **_all(
        "redis_server redis_port redis_db redis_password redis_pool_size redis_connect_timeout",
        "planned, for several nodes",
    ),
    "redis_queue_type": "!queues are bounded and in memory",
    **_all("default_ram_db sm_db_type router_db_type oauth_db_type", _ONE_STORE),
    # Caches
    **_all("use_cache cache_size cache_life_time cache_missed", _NO_CACHE),
    **_all("sm_use_cache sm_cache_size sm_cache_life_time sm_cache_missed", _NO_CACHE),
    **_all("router_use_cache router_cache_size router_cache_life_time router_cache_missed", _NO_CACHE),
    **_all("auth_use_cache auth_cache_size auth_cache_life_time auth_cache_missed", _NO_CACHE),
    **_all("oauth_use_cache oauth_cache_size oauth_cache_life_time oauth_cache_missed", _NO_CACHE),
    # HTTP
    **_all(
        "ext_api_url ext_api_headers ext_api_path_oauth ext_api_http_pool_size"
        " rest_proxy rest_proxy_port rest_proxy_username rest_proxy_password",
        _LATER,
    ),
    **_all("websocket_origin websocket_ping_interval websocket_timeout", "planned: comes with WebSocket"),
}
"""Options at the top, and in `host_config`."""

VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "auth_method": {
        "mnesia": "!accounts are in Federix's own storage: write internal",
        "sql": "!accounts are in Federix's own storage: write internal",
        **_all(
            "anonymous external jwt ldap pam", "planned; until then accounts are looked up in Federix's own storage"
        ),
    },
    "default_db": {"mnesia": "!there is no Mnesia; SQLite is used"},
}
"""Values that are left out with a warning where a word of the same option would be wrong."""

REFUSED_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "sql_type": {
        **_all("mssql odbc", "!sqlite, pgsql and mysql work"),
    },
}
"""Values that stop the start: another database would look as if all accounts were lost."""

EVERY_LISTENER: Final[Mapping[str, str]] = {
    "use_proxy_protocol": _LATER,
    "accept_interval": "!max_connections_per_second bounds what comes in",
    "supervisor": _ERLANG,
}

_TLS: Final = "tls ciphers dhfile cafile protocol_options"

LISTENERS: Final[Mapping[str, Mapping[str, str]]] = {
    "ejabberd_c2s": {
        "cafile": "planned: comes with logins by certificate",
        "tls_verify": "planned: comes with logins by certificate",
        "allow_unencrypted_sasl2": "!SASL2 is for encrypted streams (XEP-0388)",
        "zlib": "!compression of streams gives secrets away by their length",
        "tls_compression": "!compression inside TLS gives secrets away (RFC 9325 §3.3)",
        "tls_cafile": "planned: comes with logins by certificate",
    },
    "ejabberd_s2s_in": {
        "cafile": "!set s2s_cafile, for all ports",
        "tls_compression": "!compression inside TLS gives secrets away (RFC 9325 §3.3)",
    },
    "ejabberd_service": {
        "shaper_rule": "!its name is shaper",
        "cafile": "!components are known by their passwords, not by certificates",
        "tls_compression": "!compression inside TLS gives secrets away (RFC 9325 §3.3)",
    },
    "ejabberd_http": _all(f"request_handlers custom_headers tag {_TLS}", "planned: comes with HTTP")
    | {"allow_unencrypted_sasl2": "!SASL2 is for encrypted streams (XEP-0388)"},
    "ejabberd_stun": _all(
        "use_turn turn_ipv4_address turn_ipv6_address turn_min_port turn_max_port turn_max_allocations"
        " turn_max_permissions turn_blacklist auth_type auth_realm shaper server_name certfile tls",
        "!use a TURN server such as coturn; mod_stun_disco will point clients to it",
    ),
    "ejabberd_sip": _all(f"certfile {_TLS}", "!use a SIP server"),
    "ejabberd_xmlrpc": _all("access_commands timeout maxsessions", "!mod_http_api will offer the same"),
    "mod_mqtt": _all(f"{_TLS} tls_verify max_fsm_queue backlog", "!use an MQTT broker"),
    "mod_proxy65_stream": _all("access", "planned: it comes with mod_proxy65"),
}
"""Listeners of ejabberd's, and the options of each that are not done."""

EVERY_MODULE: Final[Mapping[str, str]] = {
    **_all("db_type ram_db_type", _ONE_STORE),
    **_all("use_cache cache_size cache_life_time cache_missed", _NO_CACHE),
    **_all("queue_type iqdisc", "!nothing to choose"),
}
"""Options that many of ejabberd's modules share and none of Federix's has."""

NOT_MODULES: Final[Mapping[str, str]] = {
    "mod_http": "is no module: use a listener of 'module: ejabberd_http' with request_handlers",
    "mod_websocket": "is no module: use a listener of 'module: ejabberd_http' with"
    " 'request_handlers: {/ws: ejabberd_http_ws}'",
}
"""Names people write in `modules` for things that are somewhere else."""

_HOST: Final = "host hosts name vcard"

MODULES: Final[Mapping[str, str]] = {
    "mod_adhoc": "report_commands_node",
    "mod_adhoc_api": "default_version",
    "mod_admin_extra": "",
    "mod_admin_update_sql": "",
    "mod_announce": "access",
    "mod_antispam": "access_spam dump_file rtbl_services spam_domains_file spam_jids_file spam_urls_file"
    " whitelist_domains_file",
    "mod_auth_fast": "token_lifetime token_refresh_age",
    "mod_avatar": "convert rate_limit",
    "mod_block_strangers": "access allow_local_users allow_transports captcha drop log",
    "mod_blocking": "",
    "mod_bosh": "json max_concat max_inactivity max_pause prebind",
    "mod_caps": "",
    "mod_carboncopy": "",
    "mod_client_state": "queue_chat_states queue_pep queue_presence",
    "mod_configure": "access",
    "mod_conversejs": "bosh_service_url conversejs_css conversejs_options conversejs_plugins conversejs_resources"
    " conversejs_script default_domain websocket_url",
    "mod_delegation": "namespaces",
    "mod_disco": "extra_domains name server_info",
    "mod_fail2ban": "access c2s_auth_ban_lifetime c2s_max_auth_failures",
    "mod_host_meta": "bosh_service_url websocket_url",
    "mod_http_api": "default_version",
    "mod_http_fileserver": "accesslog content_types custom_headers default_content_type directory_indices docroot"
    " must_authenticate_with",
    "mod_http_upload": "access content_types custom_headers dir_mode docroot external_secret file_mode get_url host"
    " hosts jid_in_url max_size name put_url rm_on_unregister secret_length service_url thumbnail vcard",
    "mod_http_upload_quota": "access_hard_quota access_soft_quota max_days",
    "mod_invites": "access_create_account landing_page max_invites site_name token_expire_seconds",
    "mod_jidprep": "access",
    "mod_last": "",
    "mod_legacy_auth": "",
    "mod_mam": "access_preferences archive_muc_as_mucsub assume_mam_usage clear_archive_on_room_destroy compress_xml"
    " default request_activates_archiving user_mucsub_from_muc_archive",
    "mod_matrix_gw": "host key key_name leave_timeout matrix_domain matrix_id_as_jid notary_servers",
    "mod_metrics": "ip port",
    "mod_mix": f"access_create {_HOST}",
    "mod_mix_pam": "",
    "mod_mqtt": "access_publish access_subscribe match_retained_limit max_queue max_topic_aliases max_topic_depth"
    " session_expiry",
    "mod_mqtt_bridge": "replication_user servers",
    "mod_muc": f"access access_admin access_create access_mam access_persistent access_register {_HOST}"
    " cleanup_affiliations_on_start default_room_options hibernation_timeout history_size max_captcha_whitelist"
    " max_password max_room_desc max_room_id max_room_name max_rooms_discoitems max_user_conferences max_users"
    " max_users_admin_threshold max_users_presence min_message_interval min_presence_interval preload_rooms"
    " regexp_room_id room_shaper user_message_shaper user_presence_shaper",
    "mod_muc_admin": "subscribe_room_many_max_users",
    "mod_muc_log": "access_log cssfile dirname dirtype file_format file_permissions outdir spam_prevention timezone"
    " top_link url",
    "mod_muc_occupantid": "",
    "mod_muc_rtbl": "rtbl_node rtbl_server",
    "mod_multicast": f"access limits {_HOST}",
    "mod_offline": "access_max_user_messages bounce_groupchat store_empty_body store_groupchat use_mam_for_storage",
    "mod_ping": "ping_ack_timeout ping_interval send_pings timeout_action",
    "mod_pres_counter": "count interval",
    "mod_privacy": "",
    "mod_private": "",
    "mod_privilege": "message presence roster iq",
    "mod_providers": "languages",
    "mod_proxy65": f"access auth_type hostname ip max_connections port recbuf shaper sndbuf server_host {_HOST}",
    "mod_pubsub": f"access_createnode default_node_config force_node_config ignore_pep_from_offline {_HOST}"
    " last_item_cache max_item_expire_node max_items_node max_nodes_discoitems max_subscriptions_node nodetree"
    " pep_mapping plugins",
    "mod_pubsub_serverinfo": "pubsub_host",
    "mod_push": "include_body include_sender notify_on",
    "mod_push_keepalive": "resume_timeout wake_on_start wake_on_timeout",
    "mod_register": "access access_from access_remove allow_modules captcha_protected ip_access password_strength"
    " redirect_url registration_watchers welcome_message",
    "mod_register_web": "",
    "mod_roster": "access store_current_id versioning",
    "mod_s2s_bidi": "",
    "mod_s2s_dialback": "access",
    "mod_scram_upgrade": "offered_upgrades",
    "mod_service_log": "loggers",
    "mod_shared_roster": "",
    "mod_shared_roster_ldap": "ldap_auth_check ldap_base ldap_filter ldap_groupattr ldap_groupdesc ldap_memberattr"
    " ldap_useruid",
    "mod_sic": "",
    "mod_sip": "always_record_route flow_timeout_tcp flow_timeout_udp record_route routes via",
    "mod_spam_filter": "",
    "mod_stats": "",
    "mod_stream_mgmt": "ack_timeout cache_life_time max_ack_queue max_resume_timeout resend_on_timeout resume_timeout",
    "mod_stun_disco": "access credentials_lifetime offer_local_services secret services",
    "mod_time": "",
    "mod_tombstones": "room_tombstone_expiry user_tombstone_expiry",
    "mod_vcard": f"allow_return_all matches search {_HOST}",
    "mod_vcard_xupdate": "",
    "mod_version": "show_os",
}
"""ejabberd's modules, each with the options it has of its own."""

MODULE_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "mod_mam": {
        "archive_muc_as_mucsub": "!rooms have archives of their own",
        "clear_archive_on_room_destroy": "planned: comes with the archives of rooms",
        "compress_xml": "!messages are kept in the bytes they came in",
        "user_mucsub_from_muc_archive": "!rooms have archives of their own",
    },
}
"""What to say of single options of modules."""

MODULES_NOT_WANTED: Final[Mapping[str, str]] = {
    "mod_admin_update_sql": "the schema is brought up to date at start",
    "mod_legacy_auth": "passwords would be sent in a way that is obsolete since 2008 (XEP-0078)",
    "mod_mqtt": "use an MQTT broker",
    "mod_mqtt_bridge": "use an MQTT broker",
    "mod_sic": "obsolete (XEP-0279)",
    "mod_sip": "use a SIP server",
    "mod_spam_filter": "its successor is mod_antispam",
}

MODULE_NOTES: Final[Mapping[str, str]] = {
    "mod_fail2ban": "planned; the listener's max_failed_logins_per_address already bounds guessing",
    "mod_http_api": "planned: comes with HTTP",
}
"""What to say beside "planned"."""

SAFER: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("listen: ejabberd_c2s", "starttls", "false", "Without TLS everybody on the way reads along."),
    ("listen: ejabberd_c2s", "starttls_required", "false", "A password sent without TLS is known to others."),
    ("listen: ejabberd_c2s", "access", "all", "The rule c2s refuses those on the list `blocked`."),
    ("listen: ejabberd_c2s", "max_stanza_size", "infinity", "One stanza must not fill the memory."),
    ("listen: ejabberd_c2s", "max_stanza_elements", "infinity", "One stanza must not fill the memory."),
    ("listen: ejabberd_s2s_in", "max_stanza_size", "infinity", "One stanza must not fill the memory."),
    ("listen: ejabberd_service", "max_stanza_size", "infinity", "One stanza must not fill the memory."),
    ("top level", "s2s_use_starttls", "false", "Without TLS everybody between two servers reads along."),
    ("top level", "auth_password_format", "plain", "A stolen database must not be a list of passwords."),
    ("top level", "auth_scram_hash", "sha", "Mechanisms are offered before the user is known: every account has all."),
)
"""Where Federix's default is safer: section, option, ejabberd's default, why."""
