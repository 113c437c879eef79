"""The function ``smsapi.enqueue`` in the database, which inserts pending messages for a caller.

A role that may only enqueue has the right to execute this function, and no right on any table. The function
works with the rights of its owner.
"""

from typing import Final

# The parameter is JSON text, because each driver can pass one text, and ASCII, because the encoding of the
# connection may lack characters. For one message, the text is an array of these values: the name of the
# account, the key and the number of the message, the digest and the JSON text of its content, the priority,
# and the time from which a worker may send the message (null means now). The function inserts the message
# without a request, which a worker makes later: three rows in place of one would cost the caller three times
# as much. The type jsonb is read faster than json.
#
# A role that may only enqueue can pass anything, and must not stop a worker. A worker could not make a
# request for a message with NULLs, so the function replaces each NULL; a CHECK would cost a tenth of the
# call. A worker could not put a long number into the index of the numbers. The statements for several
# messages put the number there at once, and so refuse a long number.
#
# For several messages, the text is an object:
#
#     {"account": "main", "not_before": null, "priority": 0,
#      "requests": [["digest", "{...}"]], "messages": [["key", "number", "digest", 0, 0]]}
#
# A request has the digest of its content, and the content. A message has its key, its number, the digest of
# its content, the index of its request, and its index in the call. All keys of a call differ, and the
# messages have the order of their keys: two callers that insert equal keys in opposite orders would wait for
# each other.
#
# The function returns a refusal, and does not raise an error: after an error, the caller could not continue
# its transaction. A savepoint would cost more. The result is NULL if nothing was refused.
#
# The function locks no row of other callers. A caller waits only for an open transaction with an equal key.
#
# Most calls have one new message of a known account. Otherwise the first statement inserts nothing. A loop
# with short statements needs no more time than one statement for all messages.
CREATE_ENQUEUE: Final = r"""
CREATE OR REPLACE FUNCTION smsapi.enqueue(parameter text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    one jsonb;
    given json;
    due timestamptz;
    urgency smallint;
    first_position bigint;
    last_request integer;
    account integer;
    is_redacted boolean;
    request_ids bigint[];
    content_ids bigint[];
    sizes integer[];
    each json;
    request integer;
BEGIN
    IF starts_with(parameter, '[') THEN
        one := parameter;
        INSERT INTO smsapi.messages (
            account_id, position, place, key, number, digest, content, priority, not_before, reserved_id
        )
        SELECT id, nextval('smsapi.messages_id_seq'), 0, one->>1, one->>2, coalesce(one->>3, ''),
            coalesce(one->>4, 'null')::json, coalesce((one->>5)::smallint, 0),
            coalesce((one->>6)::timestamptz, clock_timestamp()), nextval('smsapi.requests_id_seq')
        FROM smsapi.accounts WHERE name = one->>0 AND redacted IS NOT TRUE AND length(one->>2) <= 100
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        given := json_build_object(
            'account', one->>0, 'priority', one->>5, 'not_before', one->>6,
            'requests', json_build_array(json_build_array(one->>3, one->>4)),
            'messages', json_build_array(json_build_array(one->>1, one->>2, one->>3, 0, 0))
        );
    ELSE
        given := parameter;
    END IF;
    due := coalesce((given->>'not_before')::timestamptz, clock_timestamp());
    urgency := given->>'priority';
    first_position := nextval('smsapi.messages_id_seq');
    last_request := json_array_length(given->'requests') - 1;
    SELECT id, redacted INTO account, is_redacted FROM smsapi.accounts WHERE name = given->>'account';
    IF account IS NULL THEN
        INSERT INTO smsapi.accounts (name, redacted) VALUES (given->>'account', false)
        ON CONFLICT (name) DO NOTHING;
        SELECT id, redacted INTO account, is_redacted FROM smsapi.accounts WHERE name = given->>'account';
    END IF;
    IF is_redacted THEN
        RETURN '{"refused": "account"}';
    END IF;
    FOR request IN 0..last_request LOOP
        request_ids[request] := nextval('smsapi.requests_id_seq');
        content_ids[request] := nextval('smsapi.contents_id_seq');
        sizes[request] := 0;
    END LOOP;
    FOR each IN SELECT json_array_elements(given->'messages') LOOP
        request := each->>3;
        INSERT INTO smsapi.messages (account_id, request_id, content_id, position, place, key, number)
        VALUES (
            account, request_ids[request], content_ids[request], first_position + (each->>4)::bigint,
            sizes[request], each->>0, each->>1
        ) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            sizes[request] := sizes[request] + 1;
        ELSE
            PERFORM FROM smsapi.messages m LEFT JOIN smsapi.contents c ON c.id = m.content_id
            WHERE m.account_id = account AND m.key = each->>0
                AND (m.number <> each->>1 OR coalesce(m.digest, c.digest) <> each->>2);
            IF FOUND THEN
                DELETE FROM smsapi.messages WHERE request_id = ANY (request_ids);
                RETURN json_build_object('refused', 'key', 'index', (each->>4)::bigint);
            END IF;
        END IF;
    END LOOP;
    request := -1;
    FOR each IN SELECT json_array_elements(given->'requests') LOOP
        request := request + 1;
        CONTINUE WHEN sizes[request] = 0;
        INSERT INTO smsapi.contents (id, digest, content)
        VALUES (content_ids[request], each->>0, (each->>1)::json);
        INSERT INTO smsapi.requests (id, account_id, state, size, priority, not_before)
        VALUES (request_ids[request], account, 'pending', sizes[request], urgency, due);
    END LOOP;
    RETURN NULL;
END
$function$;
REVOKE ALL ON FUNCTION smsapi.enqueue(text) FROM PUBLIC;
"""
