// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// As much of an ERC-20 token as a trial needs. Not for use: whoever deploys it holds it all.
contract TestToken {
    string public constant name = "Trial";
    string public constant symbol = "TRY";
    uint8 public constant decimals = 18;
    uint256 public immutable totalSupply;
    mapping(address account => uint256 amount) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 amount);

    error TooLittle(address account, uint256 balance, uint256 amount);

    constructor(uint256 supply) {
        totalSupply = supply;
        balanceOf[msg.sender] = supply;
        emit Transfer(address(0), msg.sender, supply);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        uint256 balance = balanceOf[msg.sender];
        if (balance < amount) revert TooLittle(msg.sender, balance, amount);
        balanceOf[msg.sender] = balance - amount;
        balanceOf[to] += amount;
        emit Transfer(msg.sender, to, amount);
        return true;
    }
}
