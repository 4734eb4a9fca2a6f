<?php

/**
 * Call Graph with a Page token that page-token-sync keeps, and recover from error 190 within seconds.
 *
 *     composer require aws/aws-sdk-php      # for AWS Secrets Manager; Vault and OpenBao need ext-curl alone
 *     echo 'me?fields=name' | PAGE=berlin VAULT_ADDR=… VAULT_TOKEN=… VAULT_PATH=meta/pages/berlin php page_app.php
 *
 * Each line of the input is a path of Graph; each line of the output is what became of it, as JSON.
 */

declare(strict_types=1);

const CACHE_SECONDS = 60;

/** What to do on errors that a repetition does not solve, by Graph's code. */
const ADVICE = [
    10 => "The app lacks a permission: the app's admin requests it. Do not repeat the call.",
    200 => "The token lacks a permission for this Page: the app's admin grants it. Do not repeat the call.",
    100 => 'The call is wrong, or its object does not exist. Correct it; another token changes nothing.',
    368 => 'Meta has blocked this action for the Page for a time. Stop writing, and ask a person to look.',
    190 => 'No valid token is stored. Stop calling for this Page, and raise an alarm.',
];

final class GraphError extends Exception
{
    public function __construct(int $code)
    {
        parent::__construct(ADVICE[$code] ?? "See Meta's documentation of this code.", $code);
    }
}

/** The Page's token, cached for a minute. */
final class PageToken
{
    private string $token = '';
    private float $readAt = -INF;
    private float $noCheckBefore = -INF;

    /**
     * @param Closure(): string $read reads the secret
     * @param Closure(): float $askForCheck has it checked and healed, and returns when that may be asked for again
     */
    public function __construct(private readonly Closure $read, private readonly Closure $askForCheck)
    {
    }

    /** Return the token, at most a minute old. */
    public function get(): string
    {
        if (now() - $this->readAt >= CACHE_SECONDS) {
            $this->readAgain();
        }
        return $this->token;
    }

    /** Return another token than the one that Graph refused; null where there is none. */
    public function getOtherThan(string $refused): ?string
    {
        $this->readAgain();
        if ($this->token === $refused && now() >= $this->noCheckBefore) {
            $this->noCheckBefore = now() + ($this->askForCheck)();
            $this->readAgain();
        }
        return $this->token === $refused ? null : $this->token;
    }

    private function readAgain(): void
    {
        $this->token = ($this->read)();
        $this->readAt = now();
    }
}

/** Read the token from the secret's newest version in Vault or OpenBao. */
function readFromVault(): string
{
    $mount = getenv('VAULT_MOUNT') ?: 'secret';
    $url = getenv('VAULT_ADDR') . "/v1/$mount/data/" . getenv('VAULT_PATH');
    [$status, $answer] = request('GET', $url, ['X-Vault-Token: ' . getenv('VAULT_TOKEN')], 10);
    if ($status !== 200) {
        throw new RuntimeException("Vault answered $status");
    }
    return $answer['data']['data']['access_token'];
}

/** Read the token from the secret's current version in AWS Secrets Manager. */
function readFromAws(): string
{
    require_once getenv('COMPOSER_AUTOLOAD') ?: __DIR__ . '/vendor/autoload.php';
    // It reads AWS_REGION and credentials from the environment, as an image on ECS or Lambda has them.
    $client = new Aws\SecretsManager\SecretsManagerClient(['region' => getenv('AWS_REGION')]);
    $found = $client->getSecretValue(['SecretId' => getenv('AWS_SECRET_ID')]);
    return json_decode($found['SecretString'], true, flags: JSON_THROW_ON_ERROR)['access_token'];
}

/** Ask page-token-sync to check this Page's secret now; return the seconds after which it may be asked again. */
function askForCheck(): float
{
    $url = getenv('CHECK_URL') . '/v1/pages/' . getenv('PAGE') . '/check';
    try {
        [, $answer] = request('POST', $url, ['Authorization: Bearer ' . getenv('CHECK_TOKEN')], 12);
        return (float) ($answer['retry_after'] ?? 60);
    } catch (RuntimeException | JsonException) {
        return 60.0; // The daemon finds the invalid token in its next cycle.
    }
}

/** Return Graph's answer; after error 190 the call is repeated once, with another token. Throws GraphError. */
function callGraph(string $path, PageToken $pageToken): array
{
    $token = $pageToken->get();
    $answer = graph($path, $token);
    if (($answer['error']['code'] ?? null) === 190) {
        $other = $pageToken->getOtherThan($token);
        if ($other !== null) {
            $answer = graph($path, $other);
        }
    }
    if (isset($answer['error'])) {
        throw new GraphError($answer['error']['code']);
    }
    return $answer;
}

function graph(string $path, string $token): array
{
    $graph = getenv('GRAPH_URL') ?: 'https://graph.facebook.com/v25.0';
    // In a header, and not in the URL, where proxies would log it.
    return request('GET', "$graph/$path", ["Authorization: Bearer $token"], 30)[1];
}

/** @return array{int, array} the status and the decoded body */
function request(string $method, string $url, array $headers, int $timeout): array
{
    $call = curl_init($url);
    curl_setopt_array($call, [
        CURLOPT_CUSTOMREQUEST => $method,
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => $timeout,
    ]);
    $body = curl_exec($call);
    if ($body === false) {
        throw new RuntimeException(curl_error($call));
    }
    return [curl_getinfo($call, CURLINFO_RESPONSE_CODE), json_decode($body, true, flags: JSON_THROW_ON_ERROR)];
}

function now(): float
{
    return hrtime(true) / 1e9;
}

$pageToken = new PageToken(getenv('AWS_SECRET_ID') ? readFromAws(...) : readFromVault(...), askForCheck(...));
while (($line = fgets(STDIN)) !== false) {
    try {
        $result = ['answer' => callGraph(trim($line), $pageToken)];
    } catch (GraphError $error) {
        $result = ['error' => $error->getCode(), 'advice' => $error->getMessage()];
    }
    echo json_encode($result, JSON_THROW_ON_ERROR), "\n";
}
