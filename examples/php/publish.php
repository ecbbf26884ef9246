<?php
// Publishes a text, without extensions.
//
//     php publish.php CHANNEL TEXT [http://host:port of the admin port]

/** Returns when the message is stored and queued to every subscriber. */
function icomet_publish(string $admin, string $channel, string $content, string $key = ''): void
{
    $headers = ['Content-Type: application/x-www-form-urlencoded'];
    if ($key !== '') {
        $headers[] = "Authorization: Bearer $key";
    }
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => $headers,
        'content' => http_build_query(['cname' => $channel, 'content' => $content]),
        'timeout' => 10, // seconds
        'ignore_errors' => true, // the answer says what is wrong
        'follow_location' => 0,
    ]]);
    $http_response_header = []; // the call sets it when there is an answer
    $answer = @file_get_contents("$admin/push", false, $context);
    $status = $http_response_header[0] ?? '';
    if ($answer === false || $status === '') {
        throw new RuntimeException("$admin does not answer as it should");
    }
    if (!preg_match('#^HTTP/\S+ 200\b#', $status)) {
        throw new RuntimeException(trim("$status: $answer"));
    }
    // An answer that was cut does not have it.
    if ((json_decode($answer, true)['type'] ?? '') !== 'ok') {
        throw new RuntimeException("$admin answered " . substr($answer, 0, 80));
    }
}

if ($argc < 3 || $argc > 4) {
    fwrite(STDERR, "usage: php publish.php CHANNEL TEXT [URL]\n");
    exit(2);
}
try {
    icomet_publish(rtrim($argv[3] ?? 'http://127.0.0.1:8000', '/'), $argv[1], $argv[2]);
    echo "ok\n";
} catch (RuntimeException $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
