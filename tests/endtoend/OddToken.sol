// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Tokens that misbehave: one that calls its caller back, one that returns false, one that returns nothing.
contract OddToken {
    enum Oddity { CallsBack, ReturnsFalse, ReturnsNothing }

    Oddity public immutable oddity;
    bytes public callback;
    uint256 public paid;
    uint256 public transfers;
    bytes4 public refusal;

    constructor(Oddity oddity_) {
        oddity = oddity_;
    }

    function arm(bytes calldata callback_) external {
        callback = callback_;
    }

    function transfer(address, uint256 amount) external {
        if (oddity == Oddity.ReturnsFalse) _return(0);
        paid += amount;
        transfers += 1;
        if (oddity == Oddity.ReturnsNothing) return;
        if (callback.length != 0) {
            (bool done, bytes memory answer) = msg.sender.call(callback);
            if (!done) refusal = bytes4(answer);
        }
        _return(1);
    }

    function _return(uint256 word) private pure {
        assembly ("memory-safe") {
            mstore(0, word)
            return(0, 32)
        }
    }
}
